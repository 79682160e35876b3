"""The main job, as a person sees it."""
