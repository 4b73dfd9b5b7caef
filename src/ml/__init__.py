"""The guide's short name for `ml_models`: every module here only re-exports."""
