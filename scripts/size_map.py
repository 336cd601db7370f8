"""What the release program is made of: bytes of the file by library, from the linker's map.

usage: size_map.py <map file> <program>
"""

import re
import sys
from collections import Counter
from pathlib import Path

# Sections with bytes in the stripped file. What the linker makes itself (headers, merged strings' rest) is what is left.
IN_FILE = (".text", ".rodata", ".data", ".eh_frame", ".gcc_except_table", ".init_array", ".tdata", ".init", ".fini",
           "__libc", ".stapsdt", ".note")
SYSTEM = {"libc": "glibc", "libm": "glibc", "libpthread": "glibc", "libdl": "glibc", "librt": "glibc"}
LINE = re.compile(r"^ (?P<section>\S+)?\s+0x(?P<address>[0-9a-f]+)\s+0x(?P<size>[0-9a-f]+) (?P<file>.+)$")


def library(file):
    """libroom_http.a(x.o) -> room_http; what is linked as an object is the program's own or the compiler's."""
    archive = re.search(r"([^/]+)\.a\(", file)
    if archive:
        name = archive.group(1)
        return SYSTEM.get(name, name.removeprefix("libroom_") + " (room)" if name.startswith("libroom_") else name)
    return "start files" if "/gcc/" in file or "/lib/" in file or "crt" in file else "execd (main)"


def sizes(text):
    found = Counter()
    section = ""
    begun = text.find("\nLinker script and memory map")
    for line in text[begun:].splitlines():
        if line.startswith(" ") and len(line.split()) == 1:
            section = line.split()[0]  # a long name stands on a line of its own
            continue
        entry = LINE.match(line)
        if not entry:
            continue
        section = entry["section"] or section
        if section.startswith(IN_FILE) and not section.startswith((".note.gnu", ".note.GNU")) and int(entry["address"], 16):
            found[library(entry["file"])] += int(entry["size"], 16)
    return found


def main(map_file, program):
    found = sizes(Path(map_file).read_text(errors="replace"))
    whole = Path(program).stat().st_size
    found["(headers, relocations, alignment)"] = whole - sum(found.values())
    for name, size in found.most_common():
        if abs(size) >= 1000:
            print(f"    {size:>10,}  {100 * size / whole:5.1f} %  {name}")
    print(f"    {whole:>10,}  100.0 %  {Path(program).name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
