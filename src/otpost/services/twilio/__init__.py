"""What Twilio Verify lets a tenant set beyond an application's rules, and what it tells of the texts that went out."""
