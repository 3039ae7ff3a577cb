"""A stand-in where lightning is not installed: VidTok's networks import one function of it and train nothing here."""
