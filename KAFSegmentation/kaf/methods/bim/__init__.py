"""BIM: clusters consistent under transforms, with boundaries at image edges (MedIA 2024)."""
