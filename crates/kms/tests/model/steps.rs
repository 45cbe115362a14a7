//! What can happen: requests in every form, good and bad, and what time and trouble do. A sequence is a slice of [`Step`],
//! and its `Debug` form is the Rust that makes it again.

use strongroom_testkit::random::SeededRandom;
use strongroom_testkit::store::{Call, Fault};

/// Who asks, and in which region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    OperatorUs,
    OwnerEu,
    OwnerUs,
    StrangerEu,
    StrangerUs,
}

pub(crate) use Who::*;

pub(crate) const EVERYBODY: [Who; 5] = [OwnerUs, OwnerEu, StrangerUs, StrangerEu, OperatorUs];

/// How a request names a key. Keys have slots: whoever created one last in a slot is meant by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Id(u8),
    Arn(u8),
    ArnElsewhere(u8),
    ArnOfOther(u8),
    ByAlias(u8),
    ByAliasArn(u8),
    ByAliasArnOfOther(u8),
    ByAliasArnElsewhere(u8),
    NoArn,
    NoId,
}

pub(crate) use Key::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Alias {
    Named(u8),
    Reserved,
    Spaced,
    Unprefixed,
}

pub(crate) use Alias::*;

/// Key policies, most of them in terms of the caller's own account and the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Policy {
    AllToAll,
    AllToBoth,
    Conditioned,
    EncryptToOther,
    Malformed,
    NoEncrypt,
    NoTags,
    Nothing,
    OfNobody,
    OnlyLooking,
    OnlyPolicies,
    Standard,
    TooLong,
}

pub(crate) use Policy::*;

/// Tags `k0`, `k1`, …: from, count, and the number of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Tags {
    Range(u8, u8, u8),
    ReservedTag,
    TwiceTheSame,
    WrongAlphabet,
}

pub(crate) use Tags::*;

/// How a cryptographic operation is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    DryRun,
    OtherAlgorithm,
    Plain,
    WithToken,
}

pub(crate) use Mode::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Damage {
    Cut,
    Flipped,
    Whole,
}

pub(crate) use Damage::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Size {
    Aes128,
    Aes256,
    Both,
    Bytes(u16),
    Neither,
}

pub(crate) use Size::*;

/// What of CreateKey is not plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    External,
    MultiRegion,
    Symmetric,
    WrongUsage,
}

pub(crate) use Kind::*;

/// Which page of a list: a limit (0: none is said), and whether the client's last marker is given, or a made-up one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Page {
    First(u16),
    Forged,
    Next(u16),
}

pub(crate) use Page::*;

/// Requests that are no operation of this service, or not rightly made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Odd {
    MemberMissing,
    MemberTwice,
    NoJson,
    NoOperation,
    NotBuilt,
    OtherRegion,
    OtherSecret,
    TooOld,
}

pub(crate) use Odd::*;

/// A description, by number; [`LONG_TEXT`] is one character too long.
pub(crate) type Text = u8;
pub(crate) const LONG_TEXT: Text = u8::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    CancelKeyDeletion(Key),
    CreateAlias(Alias, Key),
    CreateKey { slot: u8, policy: Policy, bypass: bool, text: Text, tags: Tags, kind: Kind },
    Decrypt { blob: u8, key: Option<Key>, context: u8, mode: Mode, damage: Damage },
    DeleteAlias(Alias),
    DescribeKey(Key),
    DisableKey(Key),
    EnableKey(Key),
    Encrypt { key: Key, context: u8, size: u16, mode: Mode, into: u8 },
    GenerateDataKey { key: Key, context: u8, size: Size, mode: Mode, plain: bool, into: u8 },
    GenerateRandom(u16),
    GetCallerIdentity,
    GetKeyLastUsage(Key),
    GetKeyPolicy(Key),
    ListAliases(Option<Key>, Page),
    ListKeyPolicies(Key),
    ListKeys(Page),
    ListResourceTags(Key, Page),
    OddRequest(Odd),
    PutKeyPolicy(Key, Policy, bool),
    ReEncrypt { blob: u8, from: Option<Key>, to: Key, contexts: (u8, u8), mode: Mode, into: u8 },
    ScheduleKeyDeletion(Key, u16),
    TagResource(Key, Tags),
    UntagResource(Key, Tags),
    UpdateAlias(Alias, Key),
    UpdateKeyDescription(Key, Text),
}

pub(crate) use Op::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Ask(Who, Op),
    /// So many CreateAlias, from this name on.
    AskManyAliases(Who, u8, u8, Key),
    /// A list from its first page to its last, so many entries at a time.
    AskPages(Who, Op, u16),
    /// No call fails any more, and the store is waited for.
    Calm,
    ClockBack,
    ClockForward(u32),
    /// The so many next calls of this kind get through, and then one fails.
    Fail(Call, u64, Fault),
    /// Time passes in so many steps of so many minutes; the jobs run after each.
    Pass(u8, u32),
    Restart {
        crash: bool,
    },
}

pub(crate) use Step::*;

impl Step {
    /// The Rust that makes the step.
    pub(crate) fn spell(&self) -> String {
        match self {
            Fail(call, skipped, fault) => format!("Fail(Call::{call:?}, {skipped}, Fault::{fault:?})"),
            step => format!("{step:?}"),
        }
    }
}

pub(crate) const SLOTS: u8 = 5;
pub(crate) const BLOBS: u8 = 5;
pub(crate) const NAMES: u8 = 5;

/// Draws the steps of a sequence.
pub(crate) struct Dice {
    random: SeededRandom,
    /// Whether calls of the store fail.
    fails: bool,
}

macro_rules! draw {
    ($dice:expr; $($weight:literal => $value:expr),+ $(,)?) => {{
        let total = 0 $(+ $weight)+;
        let mut left = $dice.random.below(total);
        'drawn: {
            $(
                if left < $weight { break 'drawn $value; }
                left -= $weight;
            )+
            let _ = left;
            unreachable!("the weights were summed")
        }
    }};
}

impl Dice {
    pub(crate) fn sequence(seed: u64, length: usize, fails: bool) -> Vec<Step> {
        let mut dice = Self { random: SeededRandom::new(seed), fails };
        // Something to begin with.
        let mut steps: Vec<Step> = (0..3).map(|slot| dice.good_key(slot)).collect();
        while steps.len() < length {
            steps.push(dice.step());
        }
        steps
    }

    fn below(&mut self, bound: u8) -> u8 {
        u8::try_from(self.random.below(u64::from(bound))).expect("less than a byte")
    }

    fn good_key(&mut self, slot: u8) -> Step {
        let policy = draw!(self; 3 => Standard, 1 => AllToBoth);
        let (bypass, text, tags, kind) = (false, slot, Range(0, 0, 0), Symmetric);
        Ask(self.owner(), CreateKey { slot, policy, bypass, text, tags, kind })
    }

    fn owner(&mut self) -> Who {
        draw!(self; 6 => OwnerUs, 1 => OwnerEu, 1 => StrangerUs)
    }

    fn who(&mut self) -> Who {
        draw!(self; 60 => OwnerUs, 12 => OwnerEu, 16 => StrangerUs, 3 => StrangerEu, 2 => OperatorUs)
    }

    fn step(&mut self) -> Step {
        if self.fails && self.random.chance(60) {
            return self.trouble();
        }
        draw!(self;
            930 => Ask(self.who(), self.op()),
            12 => AskManyAliases(self.who(), self.below(3) * 20 + 10, 5 + self.below(40), self.key_itself()),
            30 => self.pages(),
            8 => Restart { crash: self.random.chance(500) },
            22 => self.time(),
        )
    }

    fn pages(&mut self) -> Step {
        let size = 1 + u16::from(self.below(6));
        let op = draw!(self;
            2 => ListResourceTags(Id(self.slot()), First(size)),
            1 => ListAliases(None, First(size)),
            1 => ListAliases(Some(Id(self.slot())), First(size)),
            1 => ListKeys(First(size)),
        );
        AskPages(self.owner(), op, size)
    }

    fn time(&mut self) -> Step {
        draw!(self;
            3 => Pass(1 + self.below(3), 1 + u32::from(self.below(90))),
            5 => Pass(9, 24 * 60),
            4 => Pass(3, 31),
            2 => ClockForward(60 * 24 * (1 + u32::from(self.below(40)))),
            2 => ClockBack,
        )
    }

    fn trouble(&mut self) -> Step {
        draw!(self;
            2 => Fail(Call::CommitGroup, 0, Fault::Conflict),
            2 => Fail(Call::CommitGroup, 0, Fault::Fail),
            2 => Fail(Call::CommitGroup, 0, Fault::UnknownApplied),
            2 => Fail(Call::CommitGroup, 0, Fault::UnknownDropped),
            2 => Fail(Call::CommitGroup, 0, Fault::UnknownLate),
            1 => Fail(Call::CommitGroup, self.random.below(3), Fault::CrashAfterSync),
            1 => Fail(Call::CommitGroup, self.random.below(3), Fault::CrashBeforeSync),
            1 => Fail(Call::Get, self.random.below(3), Fault::Fail),
            1 => Fail(Call::Scan, 0, Fault::Fail),
            5 => Calm,
            3 => Restart { crash: true },
        )
    }

    fn slot(&mut self) -> u8 {
        self.below(SLOTS)
    }

    /// A key by id or ARN: most often rightly.
    fn key_itself(&mut self) -> Key {
        draw!(self;
            50 => Id(self.slot()),
            50 => Arn(self.slot()),
            2 => ArnElsewhere(self.slot()),
            2 => ArnOfOther(self.slot()),
            2 => ByAlias(self.below(NAMES)),
            1 => NoArn,
            1 => NoId,
        )
    }

    fn key(&mut self) -> Key {
        draw!(self;
            30 => Id(self.slot()),
            30 => Arn(self.slot()),
            30 => ByAlias(self.below(NAMES)),
            20 => ByAliasArn(self.below(NAMES)),
            3 => ByAliasArnOfOther(self.below(NAMES)),
            2 => ByAliasArnElsewhere(self.below(NAMES)),
            2 => ArnElsewhere(self.slot()),
            2 => ArnOfOther(self.slot()),
            1 => NoArn,
            1 => NoId,
        )
    }

    fn alias(&mut self) -> Alias {
        draw!(self; 60 => Named(self.below(NAMES)), 1 => Reserved, 1 => Spaced, 1 => Unprefixed)
    }

    fn policy(&mut self) -> Policy {
        draw!(self;
            12 => AllToAll,
            12 => AllToBoth,
            12 => Standard,
            6 => EncryptToOther,
            6 => NoEncrypt,
            6 => NoTags,
            6 => OnlyLooking,
            6 => OnlyPolicies,
            2 => Nothing,
            2 => Conditioned,
            2 => Malformed,
            2 => OfNobody,
            1 => TooLong,
        )
    }

    fn tags(&mut self) -> Tags {
        draw!(self;
            40 => Range(self.below(60), 1 + self.below(3), self.below(3)),
            10 => Range(self.below(60), 10 + self.below(30), self.below(3)),
            1 => Range(0, 51, 0),
            1 => ReservedTag,
            1 => TwiceTheSame,
            1 => WrongAlphabet,
        )
    }

    fn mode(&mut self) -> Mode {
        draw!(self; 30 => Plain, 2 => DryRun, 1 => WithToken, 1 => OtherAlgorithm)
    }

    fn page(&mut self) -> Page {
        draw!(self;
            6 => First(1 + u16::from(self.below(4))),
            6 => Next(1 + u16::from(self.below(4))),
            3 => First(0),
            1 => First(101),
            1 => Forged,
        )
    }

    fn size(&mut self) -> Size {
        draw!(self;
            6 => Aes256, 2 => Aes128, 4 => Bytes(1 + u16::from(self.below(64))), 1 => Bytes(1024),
            1 => Bytes(1025), 1 => Both, 1 => Neither,
        )
    }

    fn text(&mut self) -> Text {
        draw!(self; 30 => self.below(4), 1 => LONG_TEXT)
    }

    fn op(&mut self) -> Op {
        draw!(self;
            30 => self.create_key(),
            70 => DescribeKey(self.key()),
            25 => EnableKey(self.key_itself()),
            25 => DisableKey(self.key_itself()),
            25 => ScheduleKeyDeletion(self.key_itself(), draw!(self; 9 => 7, 3 => 0, 2 => 8, 1 => 6, 1 => 366)),
            20 => CancelKeyDeletion(self.key_itself()),
            12 => UpdateKeyDescription(self.key_itself(), self.text()),
            30 => PutKeyPolicy(self.key_itself(), self.policy(), self.random.chance(200)),
            25 => GetKeyLastUsage(self.key_itself()),
            20 => GetKeyPolicy(self.key_itself()),
            4 => ListKeyPolicies(self.key_itself()),
            30 => TagResource(self.key_itself(), self.tags()),
            15 => UntagResource(self.key_itself(), self.tags()),
            25 => ListResourceTags(self.key_itself(), self.page()),
            50 => CreateAlias(self.alias(), self.key_itself()),
            45 => UpdateAlias(self.alias(), self.key_itself()),
            25 => DeleteAlias(self.alias()),
            30 => ListAliases(draw!(self; 1 => None, 1 => Some(self.key_itself())), self.page()),
            30 => ListKeys(self.page()),
            60 => self.encrypt(),
            70 => self.decrypt(),
            20 => self.re_encrypt(),
            30 => self.data_key(),
            3 => GenerateRandom(u16::from(self.below(5)) * 300),
            4 => GetCallerIdentity,
            12 => OddRequest(self.odd()),
        )
    }

    fn create_key(&mut self) -> Op {
        let tags = draw!(self; 3 => Range(0, 0, 0), 1 => self.tags());
        let policy = draw!(self; 3 => Standard, 2 => self.policy());
        let kind = draw!(self; 40 => Symmetric, 1 => External, 1 => MultiRegion, 1 => WrongUsage);
        CreateKey {
            slot: self.slot(),
            policy,
            bypass: self.random.chance(200),
            text: self.text(),
            tags,
            kind,
        }
    }

    fn encrypt(&mut self) -> Op {
        let size = draw!(self; 8 => u16::from(self.below(100)) + 1, 1 => 4096, 1 => 4097);
        Encrypt { key: self.key(), context: self.below(3), size, mode: self.mode(), into: self.below(BLOBS) }
    }

    fn decrypt(&mut self) -> Op {
        let key = draw!(self; 2 => None, 1 => Some(self.key()));
        let context = draw!(self; 6 => 0, 1 => self.below(3));
        let damage = draw!(self; 20 => Whole, 1 => Cut, 1 => Flipped);
        Decrypt { blob: self.below(BLOBS), key, context, mode: self.mode(), damage }
    }

    fn re_encrypt(&mut self) -> Op {
        let from = draw!(self; 2 => None, 1 => Some(self.key()));
        let contexts = (draw!(self; 6 => 0, 1 => self.below(3)), self.below(3));
        let (blob, into) = (self.below(BLOBS), self.below(BLOBS));
        ReEncrypt { blob, from, to: self.key(), contexts, mode: self.mode(), into }
    }

    fn data_key(&mut self) -> Op {
        let plain = self.random.chance(500);
        let mode = draw!(self; 30 => Plain, 2 => DryRun, 1 => WithToken);
        let (key, context, size, into) = (self.key(), self.below(3), self.size(), self.below(BLOBS));
        GenerateDataKey { key, context, size, mode, plain, into }
    }

    fn odd(&mut self) -> Odd {
        draw!(self;
            1 => MemberMissing, 1 => MemberTwice, 1 => NoJson, 1 => NoOperation, 1 => NotBuilt,
            1 => OtherRegion, 1 => OtherSecret, 1 => TooOld,
        )
    }
}
