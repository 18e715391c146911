//! Where webhooks and mails stand.

/// Where what is to be sent stands. The numbers are the database's and the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, sqlx::Type)]
#[repr(i16)]
pub enum DeliveryState {
    /// It is sent, or sent again, when its turn or its time comes.
    Waiting = 1,
    /// It was taken.
    Delivered = 2,
    /// Nobody tries any more.
    Failed = 3,
    /// One too many of its kind: a mail that is not sent.
    HeldBack = 4,
}

impl DeliveryState {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Delivered, Self::Failed, Self::HeldBack];

    /// The state of that number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as i16 == number)
    }
}
