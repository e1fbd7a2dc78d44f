//! Properties of the scheduler.
