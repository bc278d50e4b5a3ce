"""`python -m chat_service` is the program `chat-service`."""

from chat_service.cli import main

if __name__ == "__main__":
    main()
