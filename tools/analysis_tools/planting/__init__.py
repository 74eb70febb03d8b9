"""Problems whose best tree is known: what they are, runs on them, and the report."""
