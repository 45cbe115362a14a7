//! Sequences that once failed, as they were shrunk.

use strongroom_testkit::store::{Call, Fault};

use crate::play::Setup;
use crate::replay;
use crate::steps::*;
use crate::world::Memory;

/// The drainer took a row that it could not delete for one that was gone, found it by its walk, and recorded it again.
#[test]
fn a_record_whose_row_could_not_be_deleted_is_not_recorded_again() {
    let plain = |slot| CreateKey {
        slot,
        policy: Standard,
        bypass: false,
        text: 0,
        tags: Range(0, 0, 0),
        kind: Symmetric,
    };
    replay(
        Setup { engine: Memory, seed: 31, cached_rows_max: 1000 },
        &[
            Ask(OwnerUs, plain(0)),
            Ask(OwnerUs, plain(1)),
            Ask(OwnerUs, plain(2)),
            Pass(9, 1440),
            AskManyAliases(OwnerUs, 10, 35, Arn(0)),
            Fail(Call::CommitGroup, 0, Fault::UnknownLate),
            Fail(Call::CommitGroup, 0, Fault::Fail),
            Ask(OwnerUs, CreateAlias(Named(2), Arn(2))),
            Pass(3, 31),
            Fail(Call::CommitGroup, 0, Fault::Conflict),
            Ask(OwnerUs, DisableKey(Id(1))),
        ],
    );
}

/// STS says in its own way that the caller's credential cannot be read.
#[test]
fn a_crashed_store_is_told_in_the_words_of_each_protocol() {
    replay(
        Setup { engine: Memory, seed: 76_495_282_534_375, cached_rows_max: 1000 },
        &[
            Fail(Call::CommitGroup, 0, Fault::CrashBeforeSync),
            Ask(OwnerUs, CreateAlias(Named(4), Id(2))),
            Pass(9, 1440),
            Ask(OperatorUs, GetCallerIdentity),
        ],
    );
}
