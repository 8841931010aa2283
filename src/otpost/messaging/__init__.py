"""The messaging service: takes messages from the database, sends them, settles what became of them."""
