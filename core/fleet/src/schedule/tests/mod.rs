//! Tests of the scheduler: scripts that read as traces, and properties against a slow model.

mod groups;
mod model;
mod plans;
mod properties;
mod scripts;
mod world;
