"""Holds the #include lines and CMake dependencies of the rooms to the order of docs/architecture.md, section 2."""

import re
import sys
import tempfile
from pathlib import Path

# Which rooms a room may know besides itself.
ROOMS = {
    "base": set(),
    "shell": {"base"},
    "kernels": {"base", "shell"},
    "fs": {"base", "shell"},
    "browser_proxy": {"base", "shell"},
    "execd": {"base", "shell", "kernels", "fs", "browser_proxy"},
}
# Inside execd/: the parts that are layers. What is not listed (daemon, config, main) is the composition root and may
# know all of them. A dialect knows no other dialect; http knows neither auth's rules nor any dialect.
EXECD_PARTS = {
    "http": set(),
    "auth": {"http"},
    "web": {"http"},
    "mcp": {"http", "auth"},
    "claims": set(),
    "dialects": {"http", "auth", "claims"},
}
# A domain room knows no HTTP and no command line.
FOREIGN_IN_DOMAIN = re.compile(r"^(boost/beast|CLI/)")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
DEPENDS = re.compile(r"execd_room\(\s*(\w+)\s+DEPENDS([^)]*)\)")


def part_of(path):
    """('execd', 'dialects', 'opensandbox') for execd/dialects/opensandbox/x.hpp; shorter where there is less."""
    return Path(path).parts[:-1]


def include_fault(source, target):
    """Why source may not include target (both relative to the tree), or None."""
    here, there = part_of(source), part_of(target)
    if not there or there[0] not in ROOMS:
        return None
    if here[0] != there[0]:
        if there[0] not in ROOMS[here[0]]:
            return f"room {here[0]} may not know room {there[0]}"
        return None
    if here[0] != "execd" or len(here) < 2 or here[1] not in EXECD_PARTS:
        return None
    if len(there) < 2:
        return None  # the composition root's own small headers (services, version): cycles are looked for below
    if here[1] == there[1]:
        if here[1] == "dialects" and len(here) > 2 and len(there) > 2 and here[2] != there[2]:
            return f"dialect {here[2]} may not know dialect {there[2]}"
        return None
    if there[1] in EXECD_PARTS and there[1] not in EXECD_PARTS[here[1]]:
        return f"execd/{here[1]} may not know execd/{there[1]}"
    return None


def find_cycle(graph):
    """One cycle of a graph {node: successors} as a list of nodes, or None."""
    done, path, on_path = set(), [], set()

    def visit(node):
        if node in done:
            return None
        if node in on_path:
            return path[path.index(node):] + [node]
        path.append(node)
        on_path.add(node)
        for successor in sorted(graph.get(node, ())):
            found = visit(successor)
            if found:
                return found
        path.pop()
        on_path.discard(node)
        done.add(node)
        return None

    sys.setrecursionlimit(10000)
    for start in sorted(graph):
        found = visit(start)
        if found:
            return found
    return None


def check_includes(tree):
    files = {}
    for room in ROOMS:
        for path in sorted((tree / room).rglob("*")):
            if path.suffix in (".hpp", ".cpp", ".h", ".inc"):
                files[str(path.relative_to(tree))] = path
    headers = {}
    for name, path in files.items():
        headers[name] = set()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = match.group(2)
            if part_of(name)[0] != "execd" and FOREIGN_IN_DOMAIN.match(target):
                yield f"{name}:{number}: a domain room may not include <{target}>"
            if target not in files:
                beside = str(Path(name).parent / target)
                if match.group(1) == '"' and beside in files:
                    yield f'{name}:{number}: write "{beside}", from the root of the tree'
                continue
            headers[name].add(target)
            fault = include_fault(name, target)
            if fault:
                yield f"{name}:{number}: {fault} ({target})"
    cycle = find_cycle(headers)
    if cycle:
        yield "include cycle: " + " -> ".join(cycle)


def check_links(tree):
    graph = {}
    for room in ROOMS:
        script = tree / room / "CMakeLists.txt"
        if not script.exists():
            continue
        for name, depends in DEPENDS.findall(script.read_text()):
            graph[name] = set(re.findall(r"\broom_(\w+)", depends))
            for other in sorted(graph[name] - ROOMS.get(name, set())):
                yield f"{room}/CMakeLists.txt: room {name} may not link room {other}"
        for line in script.read_text().splitlines():
            # Only execd_room may say what a room links: everything else would go round this check.
            if re.search(r"target_link_libraries\(\s*room_", line):
                yield f"{room}/CMakeLists.txt: name the dependency in execd_room(... DEPENDS ...), not: {line.strip()}"
    cycle = find_cycle(graph)
    if cycle:
        yield "link cycle: " + " -> ".join(cycle)


def check(tree):
    return [*check_includes(tree), *check_links(tree)]


GOOD = {
    "base/a.hpp": "#include <string>\n",
    "base/CMakeLists.txt": "execd_room(base DEPENDS Threads::Threads)\n",
    "shell/s.cpp": '#include "base/a.hpp"\n#include <boost/asio/post.hpp>\n',
    "shell/CMakeLists.txt": "execd_room(shell DEPENDS room_base)\n",
    "kernels/k.hpp": '#include "shell/s.hpp"\n',
    "kernels/CMakeLists.txt": "execd_room(kernels\n  DEPENDS room_shell room_base zmq_lib)\n",
    "execd/http/h.hpp": '#include "base/a.hpp"\n#include <boost/beast/http.hpp>\n',
    "execd/auth/t.hpp": '#include "execd/http/h.hpp"\n',
    "execd/dialects/one/d.cpp": '#include "execd/auth/t.hpp"\n#include "kernels/k.hpp"\n',
    "execd/dialects/two/d.hpp": '#include "execd/http/h.hpp"\n',
    "execd/daemon.cpp": '#include "execd/dialects/two/d.hpp"\n',
}
# file, text that replaces it, words of the complaint
FAULTS = [
    ("base/a.hpp", '#include "shell/s.cpp"\n', "room base may not know room shell"),
    ("shell/s.cpp", '  #  include "kernels/k.hpp"\n', "room shell may not know room kernels"),
    ("fs/f.cpp", '#include "kernels/k.hpp"\n', "room fs may not know room kernels"),
    ("kernels/k.hpp", '#include <execd/http/h.hpp>\n', "room kernels may not know room execd"),
    ("fs/f.cpp", "#include <boost/beast/core.hpp>\n", "a domain room may not include"),
    ("execd/http/h.hpp", '#include "execd/auth/t.hpp"\n', "execd/http may not know execd/auth"),
    ("execd/http/h.hpp", '#include "execd/dialects/two/d.hpp"\n', "execd/http may not know execd/dialects"),
    ("execd/auth/t.hpp", '#include "execd/dialects/two/d.hpp"\n', "execd/auth may not know execd/dialects"),
    ("execd/dialects/one/d.cpp", '#include "execd/dialects/two/d.hpp"\n', "dialect one may not know dialect two"),
    ("base/b.hpp", '#include "a.hpp"\n', "from the root of the tree"),
    ("base/b.hpp", '#include "base/c.hpp"\n', "include cycle: base/b.hpp -> base/c.hpp -> base/b.hpp"),
    ("shell/CMakeLists.txt", "execd_room(shell DEPENDS room_kernels)\n", "room shell may not link room kernels"),
    ("shell/CMakeLists.txt", "execd_room(shell DEPENDS room_kernels)\n", "link cycle"),
    ("fs/CMakeLists.txt", "target_link_libraries(room_fs PUBLIC room_kernels)\n", "name the dependency in execd_room"),
]


def self_test():
    failures = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, fault in enumerate([None, *FAULTS]):
            tree = Path(scratch) / str(number)
            planted = dict(GOOD)
            if fault:
                planted[fault[0]] = fault[1]
            if fault and "include cycle" in fault[2]:
                planted["base/c.hpp"] = '#include "base/b.hpp"\n'
            for name, text in planted.items():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                (tree / name).write_text(text)
            found = check(tree)
            if fault is None and found:
                failures.append(f"the good tree is refused: {found}")
            if fault is not None and not any(fault[2] in one for one in found):
                failures.append(f"not found: {fault[2]} (found: {found})")
    return failures


def main():
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        faults = self_test()
    else:
        faults = check(Path(arguments[0] if arguments else Path(__file__).resolve().parents[1]))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
