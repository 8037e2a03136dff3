"""Renderer of licence plates and street scenes: everything in it is drawn from vector data in this folder."""
