//! Tests of the unit module: names, files, and requirements.

mod file;
mod name;
