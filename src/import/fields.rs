//! What a line says, whatever its format: a value for each column that it names.

use std::borrow::Cow;

macro_rules! columns {
    ($($name:ident => $text:literal),+ $(,)?) => {
        /// The columns that a file may have.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Column {
            $($name),+
        }

        impl Column {
            /// All of them.
            pub(super) const ALL: &'static [Self] = &[$(Self::$name),+];

            /// As it stands in a file.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text),+
                }
            }
        }
    };
}

columns! {
    Type => "type",
    AccountId => "account_id",
    DisplayName => "display_name",
    BillingEmail => "billing_email",
    ProjectId => "project_id",
    LotId => "lot_id",
    CreditType => "credit_type",
    Credits => "credits",
    Source => "source",
    ExpireTime => "expire_time",
    Reason => "reason",
    SubscriptionId => "subscription_id",
    Plan => "plan",
    Status => "status",
    Interval => "interval",
    Provider => "provider",
    AnchorTime => "anchor_time",
    PeriodStartTime => "period_start_time",
    PeriodEndTime => "period_end_time",
    CancelAtPeriodEnd => "cancel_at_period_end",
}

const COLUMNS: usize = Column::ALL.len();

impl Column {
    /// The column of this name; where there is none, what is wrong.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|column| column.name() == name);
        found.copied().ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|column| column.name()).collect();
            format!("there is no column {name:?}: there are {}", names.join(", "))
        })
    }
}

/// The values of one line.
#[derive(Debug, Default)]
pub(super) struct Fields<'l>([Option<Cow<'l, str>>; COLUMNS]);

impl<'l> Fields<'l> {
    /// Sets a value; nothing, or an empty one, is none.
    pub(super) fn set(&mut self, column: Column, value: impl Into<Cow<'l, str>>) {
        let value = value.into();
        if let Some(field) = self.0.get_mut(column as usize) {
            *field = (!value.is_empty()).then_some(value);
        }
    }

    /// The value of a column, where there is one.
    pub(super) fn get(&self, column: Column) -> Option<&str> {
        self.0.get(column as usize)?.as_deref()
    }

    /// The columns that have a value.
    pub(super) fn present(&self) -> impl Iterator<Item = Column> {
        Column::ALL.iter().copied().filter(|column| self.get(*column).is_some())
    }
}
