"""`./scripts/bench`: named workloads against a real server process on MariaDB and MongoDB.

Job: set up, measure, compare with targets, write the results. The load itself is made by
`chat_service.load`; nothing here is part of the package.
"""
