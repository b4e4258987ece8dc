"""From a user's folder to recordings: which layout its table has, what each row says, and audio files to samples."""
