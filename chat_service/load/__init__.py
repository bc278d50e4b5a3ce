"""A load generator for any deployment (`chat-service load`): a client like others, over REST and sockets.

It imports nothing of the service. What it counts as lost, duplicated or misordered is the promise of
docs/protocol.md, "Order, loss, duplicates", seen from every socket that it holds open.
"""
