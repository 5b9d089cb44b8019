//! Card transactions made from a seed: the input of the demo, and a source of load.
//!
//! Users differ in how often they pay (a Zipf law), how much (a mean of 5 to 100, a deviation of
//! half of it) and where (a home on a ring of terminals; they pay near it, and homes crowd at one
//! end, the city). Days have quiet nights and busy noons. Three kinds of fraud, as in the Fraud
//! Detection Handbook:
//!
//! 1. an amount above 220 is fraud, whoever pays it;
//! 2. a compromised terminal: for some days all of its transactions are fraud. They run to
//!    [`TERMINAL_FACTOR`] times what the user would have paid, the one trace that a feature which
//!    knows no labels can find;
//! 3. a compromised user: for some days a third of the transactions are fraud, at five times the
//!    amount.
//!
//! The same settings give the same bytes for ever: random numbers are our own, and everything but
//! the Zipf weights (rounded to 32 bits) is integers and exactly rounded arithmetic. Rows come in
//! time order without end; memory is proportional to users and terminals.

mod random;
#[cfg(test)]
mod tests;

use random::{Alias, Random};

const DAY_MS: f64 = 86_400_000.0;
/// Above this amount in cents a transaction is fraud.
const LARGE_CENTS: f64 = 22_000.0;
/// Share of the terminals that are compromised anew each day, and for how many days.
const TERMINALS_A_DAY: f64 = 3.2e-4;
const TERMINAL_DAYS: u32 = 7;
/// What a compromised terminal makes of an amount.
pub const TERMINAL_FACTOR: f64 = 2.0;
/// Share of the users that are compromised anew each day, and for how many days.
const USERS_A_DAY: f64 = 6.5e-4;
const USER_DAYS: u32 = 14;
/// Users this many times as active as the mean are never compromised: one of them would decide the
/// share of fraud alone.
const MAX_ACTIVITY: f64 = 3.0;
/// Terminals that a user may visit, as neighbours on the ring: about those within five kilometres in
/// the Handbook's world.
const REACH: u64 = 80;
/// Transactions an hour, relative to each other.
const HOURS: [u32; 24] = [10, 7, 6, 6, 9, 16, 26, 38, 50, 60, 68, 73, 75, 74, 71, 67, 62, 56, 48, 40, 32, 25, 19, 14];
/// Pieces of a day for which the hours above are inverted.
const PIECES: usize = 256;

/// What the generator makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Seed of the random numbers.
    pub seed: u64,
    /// Rows that fill `days` (on average; the generator itself has no end).
    pub rows: u64,
    /// Days that `rows` fill.
    pub days: u32,
    /// Number of users.
    pub users: u32,
    /// Number of terminals.
    pub terminals: u32,
    /// Exponent of the users' activity: 0 is uniform, 1.1 gives the busiest of 100,000 a tenth.
    pub zipf: f64,
    /// Start, in milliseconds since the Unix epoch; midnight.
    pub start_ms: i64,
}

impl Default for Settings {
    /// A million rows in 60 days, by 5,000 users at 10,000 terminals, from 1 January 2025.
    fn default() -> Self {
        Self {
            seed: 1,
            rows: 1_000_000,
            days: 60,
            users: 5_000,
            terminals: 10_000,
            zipf: 0.5,
            start_ms: 1_735_689_600_000,
        }
    }
}

/// One transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Number of the transaction, from 0.
    pub id: u64,
    /// Event time in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// Number of the user.
    pub user: u32,
    /// Number of the terminal.
    pub terminal: u32,
    /// Amount in cents.
    pub cents: u64,
    /// Which of the three kinds of fraud it is; 0 is none. The rows written only say whether.
    pub scenario: u8,
}

/// The generator.
#[derive(Clone, Debug)]
pub struct Generator {
    random: Random,
    start_ms: i64,
    next_id: u64,
    /// Time since the start in milliseconds, if every hour were as busy as the next.
    even_ms: f64,
    mean_gap_ms: f64,
    /// Time of day at the ends of the [`PIECES`] that see equally many transactions.
    clock: Vec<f64>,
    /// The day whose compromised users and terminals are drawn.
    day: u32,
    activity: Alias,
    users: Vec<User>,
    /// Users who may be compromised.
    ordinary: Vec<u32>,
    terminals: Vec<Terminal>,
}

#[derive(Clone, Debug)]
struct User {
    mean_cents: f64,
    home: u32,
    compromised_until: u32,
}

/// A place on the ring.
#[derive(Clone, Debug)]
struct Terminal {
    id: u32,
    compromised_until: u32,
}

impl Generator {
    /// A generator at its first row. Numbers of zero count as one.
    pub fn new(settings: &Settings) -> Self {
        let (users, terminals) = (settings.users.max(1), settings.terminals.max(1));
        let mut random = Random(settings.seed);
        let activity = ranks(users, &mut random, settings.zipf);
        let mean_activity = activity.iter().sum::<f64>() / f64::from(users);
        let ordinary = (0..users).filter(|&user| activity[user as usize] <= MAX_ACTIVITY * mean_activity).collect();
        let mut generator = Self {
            start_ms: settings.start_ms,
            next_id: 0,
            even_ms: 0.0,
            mean_gap_ms: f64::from(settings.days.max(1)) * DAY_MS / settings.rows.max(1) as f64,
            clock: clock(),
            day: 0,
            activity: Alias::new(&activity),
            ordinary,
            users: (0..users)
                .map(|_| User {
                    mean_cents: 500.0 + 9_500.0 * random.unit(),
                    // The square crowds homes at the beginning of the ring.
                    home: (f64::from(terminals) * random.unit() * random.unit()) as u32,
                    compromised_until: 0,
                })
                .collect(),
            terminals: shuffled(terminals, &mut random)
                .into_iter()
                .map(|id| Terminal { id, compromised_until: 0 })
                .collect(),
            random,
        };
        generator.draw_compromised();
        generator
    }

    /// The next transaction.
    pub fn next_transaction(&mut self) -> Transaction {
        self.even_ms += 2.0 * self.mean_gap_ms * self.random.unit();
        let day = self.even_ms / DAY_MS;
        let today = day as u32;
        let piece = (day - f64::from(today)) * PIECES as f64;
        let (from, to) = (self.clock[piece as usize], self.clock[piece as usize + 1]);
        let time_of_day = from + (to - from) * (piece - piece.floor());
        let timestamp = self.start_ms + (f64::from(today) * DAY_MS + time_of_day) as i64;
        while self.day < today {
            self.day += 1;
            self.draw_compromised();
        }

        let random = &mut self.random;
        let user = self.activity.sample(random);
        let profile = &self.users[user as usize];
        // The nearer of two: neighbours are visited more than the far end of the reach.
        let bits = random.next();
        let step = (((bits >> 32) * REACH) >> 32).min(((bits & 0xffff_ffff) * REACH) >> 32);
        let place = (u64::from(profile.home) + step) % self.terminals.len() as u64;
        let terminal = &self.terminals[place as usize];

        let mut cents = profile.mean_cents * (1.0 + 0.5 * random.normal());
        if cents <= 0.0 {
            cents = profile.mean_cents * 2.0 * random.unit();
        }
        let mut scenario = 0;
        if self.day < profile.compromised_until && random.below(3) == 0 {
            cents *= 5.0;
            scenario = 3;
        }
        if self.day < terminal.compromised_until {
            cents *= TERMINAL_FACTOR;
            scenario = 2;
        }
        if scenario == 0 && cents > LARGE_CENTS {
            scenario = 1;
        }
        let id = self.next_id;
        self.next_id += 1;
        Transaction { id, timestamp, user, terminal: terminal.id, cents: (cents as u64).max(1), scenario }
    }

    /// Appends the next transaction as a line of JSON.
    pub fn next_json(&mut self, out: &mut Vec<u8>) {
        let row = self.next_transaction();
        out.extend_from_slice(b"{\"transaction_id\":");
        push_number(out, row.id);
        out.extend_from_slice(b",\"timestamp\":");
        push_time(out, row.timestamp);
        out.extend_from_slice(b",\"user_id\":\"customer_");
        push_number(out, row.user.into());
        out.extend_from_slice(b"\",\"terminal_id\":\"terminal_");
        push_number(out, row.terminal.into());
        out.extend_from_slice(b"\",\"amount\":");
        push_cents(out, row.cents);
        out.extend_from_slice(if row.scenario == 0 { b",\"fraud\":0}\n" } else { b",\"fraud\":1}\n" });
    }

    /// The header line of the CSV form.
    pub fn header_csv() -> &'static [u8] {
        b"transaction_id,timestamp,user_id,terminal_id,amount,fraud\n"
    }

    /// Appends the next transaction as a line of CSV.
    pub fn next_csv(&mut self, out: &mut Vec<u8>) {
        let row = self.next_transaction();
        push_number(out, row.id);
        out.push(b',');
        push_time(out, row.timestamp);
        out.extend_from_slice(b",customer_");
        push_number(out, row.user.into());
        out.extend_from_slice(b",terminal_");
        push_number(out, row.terminal.into());
        out.push(b',');
        push_cents(out, row.cents);
        out.extend_from_slice(if row.scenario == 0 { b",0\n" } else { b",1\n" });
    }

    /// Draws the users and terminals that are compromised from `self.day` on.
    fn draw_compromised(&mut self) {
        let random = &mut self.random;
        for _ in 0..random.about(TERMINALS_A_DAY * self.terminals.len() as f64) {
            let place = random.below(self.terminals.len() as u64) as usize;
            self.terminals[place].compromised_until = self.day + TERMINAL_DAYS;
        }
        if self.ordinary.is_empty() {
            return;
        }
        for _ in 0..random.about(USERS_A_DAY * self.users.len() as f64) {
            let user = self.ordinary[random.below(self.ordinary.len() as u64) as usize];
            self.users[user as usize].compromised_until = self.day + USER_DAYS;
        }
    }
}

/// Activity of each user: a Zipf weight by a rank that has nothing to do with the user's number.
fn ranks(users: u32, random: &mut Random, zipf: f64) -> Vec<f64> {
    let exponent = if zipf.is_finite() { zipf.max(0.0) } else { 0.0 };
    shuffled(users, random).into_iter().map(|rank| f64::from(rank + 1).powf(-exponent)).collect()
}

/// The numbers below `n` in random order.
fn shuffled(n: u32, random: &mut Random) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..n).collect();
    for i in (1..numbers.len()).rev() {
        numbers.swap(i, random.below(i as u64 + 1) as usize);
    }
    numbers
}

/// Time of day in milliseconds at which 0/[`PIECES`], 1/[`PIECES`], … of the day's transactions are
/// done.
fn clock() -> Vec<f64> {
    let total = f64::from(HOURS.iter().sum::<u32>());
    let (mut hour, mut done) = (0, 0.0);
    (0..=PIECES)
        .map(|piece| {
            let want = total * piece as f64 / PIECES as f64;
            while hour < 23 && done + f64::from(HOURS[hour]) < want {
                done += f64::from(HOURS[hour]);
                hour += 1;
            }
            (hour as f64 + (want - done) / f64::from(HOURS[hour])) * 3_600_000.0
        })
        .collect()
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn push_time(out: &mut Vec<u8>, ms: i64) {
    if ms < 0 {
        out.push(b'-');
    }
    push_number(out, ms.unsigned_abs());
}

fn push_cents(out: &mut Vec<u8>, cents: u64) {
    push_number(out, cents / 100);
    let rest = (cents % 100) as u8;
    out.extend_from_slice(&[b'.', b'0' + rest / 10, b'0' + rest % 10]);
}
