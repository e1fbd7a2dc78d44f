//! The invented world by itself: its scheduler, disks, networking and the room around it.

mod disk;
mod net;
mod room;
mod sched;
