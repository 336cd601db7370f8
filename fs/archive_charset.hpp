// Names in archives are bytes: see archive_charset.cpp.
#pragma once

namespace execd::fs {

/// To be called by whoever opens an archive: it makes the linker take archive_charset.cpp.
void keep_archive_names_as_bytes();

}  // namespace execd::fs
