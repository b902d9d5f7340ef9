"""What picture files say of themselves in their headers, read without decoding them."""
