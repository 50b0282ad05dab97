"""Pictures of slices: outlines, heat maps, captions."""
