"""Tables of the README files, declared once each and written from the JSON beside them."""
