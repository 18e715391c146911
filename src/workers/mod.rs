//! Work that nobody calls for. Workers run on every replica at once: they look
//! for what is due and send commands, and the write path decides, so that two
//! who find the same thing do it once.

pub mod inbox;
pub mod reaper;
