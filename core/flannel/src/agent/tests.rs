//! An agent over a store in memory and a model of the kernel.
