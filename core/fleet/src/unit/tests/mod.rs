//! Tests of the unit module: names, files, and requirements.

mod amount;
mod file;
mod glob;
mod metadata;
mod name;
mod page;
mod requirements;
