//! Properties against a slow, obvious model.
