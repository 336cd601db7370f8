#include "execd/dialects/own/files_schemas.hpp"

// The tables of the structs, made once.
namespace execd::wire {
template struct Codec<own::files::EditRequest>;
template struct Codec<own::files::EditAnswer>;
template struct Codec<own::files::ToolRequest>;
template struct Codec<own::files::ToolAnswer>;
template struct Codec<own::files::FindRequest>;
template struct Codec<own::files::FindAnswer>;
template struct Codec<own::files::GrepRequest>;
template struct Codec<own::files::GrepAnswer>;
template struct Codec<own::files::TextQuery>;
template struct Codec<own::files::TextAnswer>;
template struct Codec<own::files::TextRequest>;
template struct Codec<own::files::WrittenBody>;
template struct Codec<own::files::ContentQuery>;
template struct Codec<own::files::PackQuery>;
template struct Codec<own::files::UnpackQuery>;
template struct Codec<own::files::UnpackedBody>;
template struct Codec<own::files::WatchRequest>;
template struct Codec<own::files::WatchBody>;
template struct Codec<own::files::EventsQuery>;
template struct Codec<own::files::EventsBody>;
template struct Codec<own::files::EventBody>;
template struct Codec<own::files::WaitQuery>;
template struct Codec<own::files::WaitBody>;
}  // namespace execd::wire
