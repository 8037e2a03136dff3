"""Training, export and the reference inference recipe of the license plate models."""
