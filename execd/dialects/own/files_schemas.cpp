#include "execd/dialects/own/files_schemas.hpp"

// The tables of the structs, made once.
namespace execd::wire {
template struct Codec<own::EditRequest>;
template struct Codec<own::EditAnswer>;
template struct Codec<own::ToolRequest>;
template struct Codec<own::ToolAnswer>;
template struct Codec<own::FindRequest>;
template struct Codec<own::FindAnswer>;
template struct Codec<own::GrepRequest>;
template struct Codec<own::GrepAnswer>;
template struct Codec<own::TextQuery>;
template struct Codec<own::TextAnswer>;
template struct Codec<own::TextRequest>;
template struct Codec<own::WrittenBody>;
template struct Codec<own::ContentQuery>;
template struct Codec<own::PackQuery>;
template struct Codec<own::UnpackQuery>;
template struct Codec<own::UnpackedBody>;
template struct Codec<own::WatchRequest>;
template struct Codec<own::WatchBody>;
template struct Codec<own::EventsQuery>;
template struct Codec<own::EventsBody>;
template struct Codec<own::EventBody>;
template struct Codec<own::WaitQuery>;
template struct Codec<own::WaitBody>;
}  // namespace execd::wire
