// The list of all operations. A new one is added here (at the end of its list) and can be run by every
// executor.
#pragma once
#include <tuple>

#include "fs/archive.hpp"
#include "fs/edit.hpp"
#include "fs/entry.hpp"
#include "fs/list.hpp"
#include "fs/ops.hpp"
#include "fs/place.hpp"
#include "fs/reader.hpp"
#include "fs/replace.hpp"
#include "fs/search.hpp"
#include "fs/stage.hpp"
#include "fs/wire.hpp"

namespace execd::fs {

using Operations = std::tuple<Stat, List, MakeDirectory, Move, Copy, Remove, SetPermissions, Symlink, Touch,
                              DiskSpace, Stage, Commit, PutFile, AppendFile, OpenRead, Replace, Find, Grep,
                              ReadText, EditText, Unpack, WriteText, Locate>;

template <class Op>
struct OperationNumber {
    template <std::size_t... I>
    static constexpr std::uint16_t find(std::index_sequence<I...>) {
        std::uint16_t at = UINT16_MAX;
        ((std::is_same_v<Op, std::tuple_element_t<I, Operations>> ? void(at = I) : void()), ...);
        return at;
    }
    static constexpr std::uint16_t value = find(std::make_index_sequence<std::tuple_size_v<Operations>>());
    static_assert(value != UINT16_MAX, "add the operation to fs::Operations");
};

}  // namespace execd::fs
