//! fleet as an operator has it: three real systemd hosts, each with a member of the store and a fleetd, driven by fleetctl.
//!
//! Needs root and the packages that `.ci/run` installs; without them each test says so and is skipped.

mod everyday;
mod idle;
mod loss;
mod stage;
mod trouble;
