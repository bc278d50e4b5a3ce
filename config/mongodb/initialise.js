// Makes the replica set and the account of the service, and does nothing where both are there.
// mongosh "mongodb://host/admin?directConnection=true" initialise.js, with MONGODB_MEMBER (host:port, as the nodes
// reach it), MONGODB_PASSWORD and MONGODB_ROOT_PASSWORD in the environment, because everybody on a machine can
// read what a program's arguments are.

const PRIMARY_WITHIN_MS = 60_000;
const password = process.env.MONGODB_PASSWORD;

db.getSiblingDB('admin').auth('root', process.env.MONGODB_ROOT_PASSWORD);

try {
  rs.status();
} catch (error) {
  if (error.codeName !== 'NotYetInitialized') throw error;
  rs.initiate({
    _id: 'rs0',
    members: [{ _id: 0, host: process.env.MONGODB_MEMBER }],
    // A new primary does not look for long for what the majority never had, and nobody was told is stored.
    settings: { catchUpTimeoutMillis: 2000 },
  });
}

const deadline = Date.now() + PRIMARY_WITHIN_MS;
while (!db.hello().isWritablePrimary) {
  if (Date.now() > deadline) throw new Error('no primary within a minute');
  sleep(200);
}

const roles = [{ role: 'readWrite', db: 'chat' }];
const admin = db.getSiblingDB('admin');
if (admin.getUser('chat') === null) {
  admin.createUser({ user: 'chat', pwd: password, roles });
} else {
  admin.updateUser('chat', { pwd: password, roles });
}
print('replica set rs0 and account chat are there');
