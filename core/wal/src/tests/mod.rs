//! Tests of the log as a whole.
//!
//! [`crashes`]: power lost and processes killed at every step, and random histories, against a model.
//! [`cases`]: what a log must survive, case by case, each named by its number in the list that the project keeps.
//! [`codec`]: single records and what may be done to their bytes. [`verbs`]: what each verb promises when nothing fails.

mod cases;
mod codec;
mod cold;
mod crashes;
mod verbs;
