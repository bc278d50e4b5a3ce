"""The same service with one message a transaction and one transaction at a time: the baseline of `sends`."""

from functools import partial

import chat_service.app
from chat_service.cli import main
from chat_service.services.sending import Sender

if __name__ == "__main__":
    chat_service.app.Sender = partial(Sender, max_batch=1)
    main()
