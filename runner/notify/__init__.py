"""Messages about a batch to a phone, a chat, a mailbox or a program. A process of its own sends them."""
