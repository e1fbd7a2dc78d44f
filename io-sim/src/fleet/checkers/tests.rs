//! The checkers against small stories by hand: each finds what it is there for.
