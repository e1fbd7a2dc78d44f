//! Properties of the network.
