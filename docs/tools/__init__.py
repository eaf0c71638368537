"""What builds the documentation: generated pages of reference, and hooks of the site. No part of the package."""
