#include "execd/dialects/opensandbox/schemas.hpp"

// The tables of the dialect's structs, made once.
namespace execd::wire {
template struct Codec<opensandbox::RunCommandRequest>;
template struct Codec<opensandbox::RunCodeRequest>;
template struct Codec<opensandbox::CodeContextRequest>;
template struct Codec<opensandbox::CodeContext>;
template struct Codec<opensandbox::CodeContexts>;
template struct Codec<opensandbox::CommandStatus>;
template struct Codec<opensandbox::FileInfo>;
template struct Codec<opensandbox::FileInfos>;
template struct Codec<opensandbox::FileInfoMap>;
template struct Codec<opensandbox::FileMetadata>;
template struct Codec<opensandbox::Permissions>;
template struct Codec<opensandbox::Renames>;
template struct Codec<opensandbox::Replacements>;
template struct Codec<opensandbox::ReplaceResults>;
}  // namespace execd::wire
