// Tables from Boost.Describe: a wire struct is a plain struct, its description and its notes.
//
//   struct Run { std::string command; std::optional<std::int64_t> timeout; Mode mode = Mode::foreground; };
//   BOOST_DESCRIBE_STRUCT(Run, (), (command, timeout, mode))
//   constexpr auto wire_notes(Run const*) {
//       return wire::notes({{.field = "command", .doc = "What to run", .min_len = 1},
//                           {.field = "mode", .wire = "run-mode", .defaulted = true}});
//   }
//
// wire_notes, wire_doc (of a struct), wire_enum (of an enum) and wire_union (of a variant's first
// alternative) are found by argument-dependent look-up. A type must be describable where its tables are
// instantiated: once per dialect, by `template struct execd::wire::Codec<Run>;` in a schemas.cpp, after
// `extern template struct execd::wire::Codec<Run>;` in its header.
#pragma once
#include <array>
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <boost/describe/enumerators.hpp>
#include <boost/describe/members.hpp>
#include <concepts>
#include <memory>
#include <type_traits>
#include <variant>
#include <vector>

#include "execd/http/wire/ops.hpp"

namespace execd::wire {

template <std::size_t N>
constexpr std::array<Note, N> notes(Note const (&list)[N]) {
    return std::to_array(list);
}
constexpr std::array<Note, 0> wire_notes(void const*) { return {}; }
constexpr char const* wire_doc(void const*) { return nullptr; }

/// The wire name of an enumerator, if it is not the C++ one.
struct EnumName {
    std::string_view name{};
    std::string_view wire{};
};
template <std::size_t N>
struct EnumNotes {
    std::array<EnumName, N> names{};
    bool literal = false;
    bool numeric = false;
};
struct EnumStyle {
    bool literal = false;
    bool numeric = false;
};
template <std::size_t N>
constexpr EnumNotes<N> enum_names(EnumName const (&list)[N], EnumStyle style = {}) {
    return {std::to_array(list), style.literal, style.numeric};
}
constexpr EnumNotes<0> enum_style(EnumStyle style) { return {{}, style.literal, style.numeric}; }
constexpr EnumNotes<0> wire_enum(void const*) { return {}; }

/// The discriminator of std::variant<A, ...>, told by `wire_union(std::variant<A, ...> const*)` in A's
/// namespace. Without `values` every alternative has a Literal member under that name.
template <std::size_t N>
struct UnionNotes {
    char const* tag = nullptr;
    std::array<std::string_view, N> values{};
};
constexpr UnionNotes<0> tagged_by(char const* tag) { return {tag, {}}; }
template <std::size_t N>
constexpr UnionNotes<N> tagged_by(char const* tag, std::string_view const (&values)[N]) {
    return {tag, std::to_array(values)};
}
constexpr UnionNotes<0> wire_union(void const*) { return {}; }

template <class T>
struct Codec {
    static Ops const ops;
};
template <class T>
[[nodiscard]] Ops const& ops_of() {
    return Codec<T>::ops;
}

namespace detail {

inline constexpr Note kPlainNote{};

template <class T>
inline constexpr auto notes_of = wire_notes(static_cast<T const*>(nullptr));

template <class T>
constexpr std::string_view full_type_name() {
    std::string_view text =
        __PRETTY_FUNCTION__;  // "... [with T = ns::Name; ...]" (gcc), "... [T = ns::Name]" (clang)
    text.remove_prefix(text.find("T = ") + 4);
    return text.substr(0, text.find_first_of(";]"));
}
constexpr std::string_view unqualified(std::string_view name) {
    auto const colon = name.rfind(':');
    return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

template <class T, class D>
using MemberType = std::remove_cvref_t<decltype(std::declval<T&>().*D::pointer)>;

// Functions over plain values: what is a template on the member costs compile time a thousand times.
template <std::size_t N>
constexpr std::size_t note_index(std::array<Note, N> const& notes, std::string_view member) {
    std::size_t i = 0;
    while (i < N && notes[i].field != member) ++i;
    return i;
}
template <std::size_t N>
constexpr std::string_view wire_name(std::array<Note, N> const& notes, char const* member) {
    std::size_t const i = note_index(notes, member);
    if (i == N || notes[i].wire == nullptr) return member;
    return notes[i].wire;
}
template <std::size_t N>
constexpr Field make_field(std::array<Note, N> const& notes, char const* member, Ops const* ops) {
    std::size_t const i = note_index(notes, member);
    return {wire_name(notes, member), member, ops, i < N ? &notes[i] : &kPlainNote};
}

template <class T>
using MembersOf =
    boost::describe::describe_members<T, boost::describe::mod_public | boost::describe::mod_inherited>;

template <class T, template <class...> class L, class... D>
constexpr std::array<Field, sizeof...(D)> make_fields(L<D...>) {
    return {make_field(notes_of<T>, D::name, &Codec<MemberType<T, D>>::ops)...};
}
template <class T, template <class...> class L, class... D>
constexpr bool notes_name_members(L<D...>) {
    for (auto const& note : notes_of<T>) {
        if (!((std::string_view(note.field) == D::name) || ...)) return false;
    }
    return true;
}
template <class T, template <class...> class L, class... D>
void store_addresses([[maybe_unused]] T& object, [[maybe_unused]] void** members, L<D...>) {
    ((*members++ = std::addressof(object.*D::pointer)), ...);
}

template <class T>
inline constexpr auto fields_of = make_fields<T>(MembersOf<T>{});

// One function a struct and not one a member: a thunk costs 40 bytes with its unwind entry.
template <class T>
void locate(void* object, void** members) {
    store_addresses(*static_cast<T*>(object), members, MembersOf<T>{});
}
template <class T>
void with_default(void* context, void (*use)(void*, void const*)) {
    T const fresh{};
    use(context, &fresh);
}
template <class T>
inline constexpr ObjectShape object_shape{unqualified(full_type_name<T>()),
                                          full_type_name<T>(),
                                          wire_doc(static_cast<T const*>(nullptr)),
                                          fields_of<T>.data(),
                                          fields_of<T>.size(),
                                          locate<T>,
                                          with_default<T>};

template <class E>
inline constexpr auto enum_notes_of = wire_enum(static_cast<E const*>(nullptr));
template <class E>
constexpr std::string_view enumerator_name(std::string_view name) {
    for (auto const& item : enum_notes_of<E>.names) {
        if (item.name == name) return item.wire;
    }
    return name;
}
template <class E, template <class...> class L, class... D>
constexpr std::array<EnumItem, sizeof...(D)> make_items(L<D...>) {
    return {EnumItem{enumerator_name<E>(D::name), static_cast<std::int64_t>(D::value)}...};
}
template <class E>
inline constexpr auto items_of = make_items<E>(boost::describe::describe_enumerators<E>{});
template <class E>
inline constexpr EnumShape enum_shape{unqualified(full_type_name<E>()), items_of<E>.data(),
                                      items_of<E>.size(), enum_notes_of<E>.literal, enum_notes_of<E>.numeric};

template <class T>
struct List {
    static_assert(!std::is_same_v<T, bool>, "std::vector<bool> has no addressable elements");
    using V = std::vector<T>;
    static void* grow(void* list) { return &static_cast<V*>(list)->emplace_back(); }
    static ListView view(void const* list) {
        auto const& v = *static_cast<V const*>(list);
        return {reinterpret_cast<std::byte const*>(v.data()), v.size()};
    }
    static void clear(void* list) { static_cast<V*>(list)->clear(); }
};
template <class T>
inline constexpr ListShape list_shape{List<T>::grow, List<T>::view, List<T>::clear, sizeof(T)};

template <class T>
struct Map {
    using M = std::map<std::string, T>;
    static void* slot(void* map, std::string const& key) { return &(*static_cast<M*>(map))[key]; }
    static void each(void const* map, void* context, MapVisitor visit) {
        for (auto const& [key, value] : *static_cast<M const*>(map)) visit(context, key, &value);
    }
    static void clear(void* map) { static_cast<M*>(map)->clear(); }
    static std::size_t size(void const* map) { return static_cast<M const*>(map)->size(); }
};
template <class T>
inline constexpr MapShape map_shape{Map<T>::slot, Map<T>::each, Map<T>::clear, Map<T>::size};

template <class T>
struct OptionalBox {
    using B = std::optional<T>;
    static void* emplace(void* box) { return &static_cast<B*>(box)->emplace(); }
    static void reset(void* box, Presence) { static_cast<B*>(box)->reset(); }
    static void const* get(void const* box) {
        auto const& b = *static_cast<B const*>(box);
        return b ? &*b : nullptr;
    }
    static Presence presence(void const* box) {
        return static_cast<B const*>(box)->has_value() ? Presence::value : Presence::absent;
    }
};
template <class T>
inline constexpr BoxShape optional_shape{OptionalBox<T>::emplace, OptionalBox<T>::reset, OptionalBox<T>::get,
                                         OptionalBox<T>::presence};

template <class T>
struct TriBox {
    using B = Tri<T>;
    static void* emplace(void* box) { return &static_cast<B*>(box)->emplace(); }
    static void reset(void* box, Presence to) { static_cast<B*>(box)->reset(to); }
    static void const* get(void const* box) {
        auto const& b = *static_cast<B const*>(box);
        return b.has_value() ? &*b : nullptr;
    }
    static Presence presence(void const* box) { return static_cast<B const*>(box)->presence(); }
};
template <class T>
inline constexpr BoxShape tri_shape{TriBox<T>::emplace, TriBox<T>::reset, TriBox<T>::get,
                                    TriBox<T>::presence};

template <class T>
struct IsLiteral : std::false_type {};
template <FixedText Text>
struct IsLiteral<Literal<Text>> : std::true_type {};

// The value of the alternative's Literal member called `tag` on the wire.
template <class T, template <class...> class L, class... D>
constexpr std::string_view literal_of(std::string_view tag, L<D...>) {
    std::string_view found;
    auto const look = [&]<class M>(std::string_view name, std::type_identity<M>) {
        if constexpr (IsLiteral<M>::value) {
            if (name == tag) found = M::value;
        }
    };
    (look(wire_name(notes_of<T>, D::name), std::type_identity<MemberType<T, D>>{}), ...);
    return found;
}

template <class V>
inline constexpr auto union_notes_of = wire_union(static_cast<V const*>(nullptr));

template <class V, class A>
constexpr std::string_view tag_value([[maybe_unused]] std::size_t index) {
    if constexpr (union_notes_of<V>.values.size() != 0) {
        static_assert(union_notes_of<V>.values.size() == std::variant_size_v<V>,
                      "one tag value an alternative");
        return union_notes_of<V>.values[index];
    } else {
        constexpr auto value = literal_of<A>(union_notes_of<V>.tag, MembersOf<A>{});
        static_assert(!value.empty(), "an alternative has no Literal under the union's tag");
        return value;
    }
}
template <class V, class... T>
constexpr std::array<std::string_view, sizeof...(T)> make_tag_values() {
    if constexpr (union_notes_of<V>.tag != nullptr) {
        std::size_t index = 0;
        return {tag_value<V, T>(index++)...};
    } else {
        return {};
    }
}
template <class... T>
inline constexpr auto tag_values_of = make_tag_values<std::variant<T...>, T...>();

template <class... T>
struct Choice {
    using V = std::variant<T...>;
    static constexpr std::array<Ops const*, sizeof...(T)> alternatives{&Codec<T>::ops...};

    template <std::size_t I>
    static void* emplace_one(V& v) {
        return &v.template emplace<I>();
    }
    template <std::size_t... I>
    static void* emplace_at(V& v, std::size_t index, std::index_sequence<I...>) {
        void* made = nullptr;
        ((I == index ? void(made = emplace_one<I>(v)) : void()), ...);
        return made;
    }
    static void* emplace(void* variant, std::size_t index) {
        return emplace_at(*static_cast<V*>(variant), index, std::index_sequence_for<T...>{});
    }
    static std::size_t index(void const* variant) { return static_cast<V const*>(variant)->index(); }
    static void const* get(void const* variant) {
        return std::visit([](auto const& held) -> void const* { return &held; },
                          *static_cast<V const*>(variant));
    }
};
template <class... T>
inline constexpr ChoiceShape choice_shape{Choice<T...>::emplace,
                                          Choice<T...>::index,
                                          Choice<T...>::get,
                                          Choice<T...>::alternatives.data(),
                                          sizeof...(T),
                                          union_notes_of<std::variant<T...>>.tag,
                                          tag_values_of<T...>.data()};

template <class T>
struct MakeOps {
    static constexpr Ops make() {
        if constexpr (std::is_same_v<T, bool>) {
            return {.kind = Kind::boolean, .width = sizeof(bool)};
        } else if constexpr (std::is_integral_v<T>) {
            return {.kind = Kind::integer, .width = sizeof(T), .is_signed = std::is_signed_v<T>};
        } else if constexpr (std::is_floating_point_v<T>) {
            static_assert(sizeof(T) <= sizeof(double));
            return {.kind = Kind::number, .width = sizeof(T)};
        } else if constexpr (std::is_same_v<T, std::string>) {
            return {.kind = Kind::string};
        } else if constexpr (std::is_same_v<T, Bytes>) {
            return {.kind = Kind::bytes};
        } else if constexpr (std::is_same_v<T, Timestamp>) {
            return {.kind = Kind::timestamp};
        } else if constexpr (std::is_same_v<T, Json>) {
            return {.kind = Kind::json};
        } else if constexpr (std::is_same_v<T, JsonText>) {
            return {.kind = Kind::json_text};
        } else if constexpr (IsLiteral<T>::value) {
            return {.kind = Kind::literal, .shape = {.literal = &T::value}};
        } else if constexpr (std::is_enum_v<T>) {
            using U = std::underlying_type_t<T>;
            return {.kind = Kind::enumeration,
                    .width = sizeof(T),
                    .is_signed = std::is_signed_v<U>,
                    .shape = {.enumeration = &enum_shape<T>}};
        } else {
            static_assert(notes_name_members<T>(MembersOf<T>{}), "a note names no member");
            static_assert(fields_of<T>.size() <= kMaxFields, "raise kMaxFields");
            return {.kind = Kind::object, .shape = {.object = &object_shape<T>}};
        }
    }
};
template <class T>
struct MakeOps<std::vector<T>> {
    static constexpr Ops make() {
        return {.kind = Kind::list, .element = &Codec<T>::ops, .shape = {.list = &list_shape<T>}};
    }
};
template <class T>
struct MakeOps<std::map<std::string, T>> {
    static constexpr Ops make() {
        return {.kind = Kind::map, .element = &Codec<T>::ops, .shape = {.map = &map_shape<T>}};
    }
};
template <class T>
struct MakeOps<std::optional<T>> {
    static constexpr Ops make() {
        return {.kind = Kind::optional, .element = &Codec<T>::ops, .shape = {.box = &optional_shape<T>}};
    }
};
template <class T>
struct MakeOps<Nullable<T>> {  // its only member is the optional: the same thunks fit
    static_assert(std::is_standard_layout_v<Nullable<T>> && sizeof(Nullable<T>) == sizeof(std::optional<T>));
    static constexpr Ops make() {
        return {.kind = Kind::nullable, .element = &Codec<T>::ops, .shape = {.box = &optional_shape<T>}};
    }
};
template <class T>
struct MakeOps<Tri<T>> {
    static constexpr Ops make() {
        return {.kind = Kind::tri, .element = &Codec<T>::ops, .shape = {.box = &tri_shape<T>}};
    }
};
template <class... T>
struct MakeOps<std::variant<T...>> {
    static constexpr Ops make() { return {.kind = Kind::choice, .shape = {.choice = &choice_shape<T...>}}; }
};

}  // namespace detail

// Not inline on purpose: `extern template struct Codec<T>` then keeps a type's tables out of every user.
template <class T>
constinit Ops const Codec<T>::ops = detail::MakeOps<T>::make();

}  // namespace execd::wire
