"""Identity verification (VEID): synthetic faces, attacks and documents, their measures and reports."""
