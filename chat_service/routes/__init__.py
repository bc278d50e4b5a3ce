"""The edge: parse a request or a frame, call one service, shape the answer. No rules live here."""
