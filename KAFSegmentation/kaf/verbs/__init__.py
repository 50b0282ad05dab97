"""What KAF does, one public function per file."""
