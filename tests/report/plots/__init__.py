"""Pictures are tested by what their axes hold, and by the boxes of their texts."""
