/* Decides, for each foreign program that the kernel is asked to start, what runs in its place.
 *
 * The kernel starts this by binfmt_misc (flags F and P) with: itself, the program's path, the program's argv[0], and the
 * other arguments. A table that the plan made (table.py writes it, and says what each field means) names the programs that
 * have a twin: a program of this machine that does the same. If the table has the program, the file is the very build that
 * the table means, and no rule objects, the twin is started; in every other case, and whenever anything fails, QEMU.
 *
 * It uses no library, allocates nothing but its stack, and writes one line to a log in memory for each start.
 * QEMU is at hand in the step's /dev; where a chroot has hidden that, a copy that embed.py has put behind this program's
 * own segments is started from memory.
 */

typedef unsigned int u32;
typedef long i64;
typedef unsigned long u64;

#define PLACE "/dev/.xx/"

#if defined(__x86_64__)
enum { SYS_write = 1, SYS_close = 3, SYS_fstat = 5, SYS_mmap = 9, SYS_access = 21, SYS_execve = 59, SYS_exit = 60,
       SYS_readlinkat = 267, SYS_getxattr = 191, SYS_openat = 257, SYS_memfd_create = 319, SYS_execveat = 322 };
static i64 syscall6(i64 number, i64 a, i64 b, i64 c, i64 d, i64 e, i64 f) {
    i64 result;
    register i64 r10 __asm__("r10") = d;
    register i64 r8 __asm__("r8") = e;
    register i64 r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
struct status { u64 dev, ino, nlink; u32 mode, uid, gid, pad; u64 rdev; i64 size, blksize, blocks, atime, atime_ns, mtime,
                mtime_ns, ctime, ctime_ns, unused[3]; };
__asm__(".globl _start\n_start:\n mov %rsp, %rdi\n and $-16, %rsp\n call run\n");
#elif defined(__aarch64__)
enum { SYS_write = 64, SYS_close = 57, SYS_fstat = 80, SYS_mmap = 222, SYS_faccessat = 48, SYS_execve = 221, SYS_exit = 93,
       SYS_readlinkat = 78, SYS_getxattr = 8, SYS_openat = 56, SYS_memfd_create = 279, SYS_execveat = 281 };
static i64 syscall6(i64 number, i64 a, i64 b, i64 c, i64 d, i64 e, i64 f) {
    register i64 x8 __asm__("x8") = number;
    register i64 x0 __asm__("x0") = a;
    register i64 x1 __asm__("x1") = b;
    register i64 x2 __asm__("x2") = c;
    register i64 x3 __asm__("x3") = d;
    register i64 x4 __asm__("x4") = e;
    register i64 x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
struct status { u64 dev, ino; u32 mode, nlink, uid, gid; u64 rdev, pad; i64 size; int blksize, pad2; i64 blocks, atime,
                atime_ns, mtime, mtime_ns, ctime, ctime_ns; u32 unused[2]; };
__asm__(".globl _start\n_start:\n mov x0, sp\n bl run\n");
#else
#error "no dispatcher for this architecture"
#endif

#define call(number, ...) call_(number, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define call_(number, a, b, c, d, e, f, ...) \
    syscall6(number, (i64)(a), (i64)(b), (i64)(c), (i64)(d), (i64)(e), (i64)(f))

enum { AT_FDCWD = -100, AT_EMPTY_PATH = 0x1000, O_RDONLY = 0, O_WRONLY = 1, O_APPEND = 02000, O_CLOEXEC = 02000000,
       O_PATH = 010000000, PROT_READ = 1, MAP_PRIVATE = 2, MFD_CLOEXEC = 1, MFD_EXEC = 16, S_IFMT = 0170000,
       S_IFREG = 0100000, S_ISUID = 04000, S_ISGID = 02000, MOST_PATH = 4096, MOST_LINE = 1024 };

/* The copy of QEMU behind this program: embed.py fills both in. Volatile, or the compiler would take them for zero. */
__attribute__((section(".data"))) volatile struct { char mark[16]; u64 at, size; } embedded = {"XX-EMBEDDED-QEMU", 0, 0};

/* The table: see table.py. Offsets are from its beginning. */
struct table { char magic[8]; u32 count, entries; };
struct entry { u32 path, program, prefix, suffix, rules, pad; i64 mtime; };
struct rule { u32 kind, one, two; };
enum { END, NO_VARIABLE, NO_ARGUMENT, NO_ARGUMENT_PREFIX, FIRST_ARGUMENT, HAS_ARGUMENT, REPLACE, NO_SUFFIX_IF,
       PLAIN_LOCALE, NEXT_AMONG, HAS_VARIABLE, LIBRARIES, NAMED, NO_LETTER };

static const char *table;
#define TEXT(offset) (table + (offset))
#define LIST(offset) ((const u32 *)(table + (offset)))

/* The compiler calls these of its own accord. Volatile, or it would make each a call of itself. */
__attribute__((used)) void *memset(void *to, int value, unsigned long size) {
    for (volatile char *at = to; size--; at++)
        *at = value;
    return to;
}

__attribute__((used)) void *memcpy(void *to, const void *from, unsigned long size) {
    volatile char *at = to;
    for (const char *each = from; size--; each++, at++)
        *at = *each;
    return to;
}

static u64 length(const char *text) {
    u64 count = 0;
    while (text[count])
        count++;
    return count;
}

static int compare(const char *one, const char *two) {
    while (*one && *one == *two)
        one++, two++;
    return (unsigned char)*one - (unsigned char)*two;
}

static int begins(const char *text, const char *with) {
    while (*with)
        if (*text++ != *with++)
            return 0;
    return 1;
}

static int among(const char *text, const u32 *list) {
    for (; *list; list++)
        if (!compare(text, TEXT(*list)))
            return 1;
    return 0;
}

static int variable_begins(char **variables, const char *with) {
    for (; *variables; variables++)
        if (begins(*variables, with))
            return 1;
    return 0;
}

/* Locales are files of the root's byte order. */
static int plain_locale(char **variables) {
    for (; *variables; variables++) {
        if (!begins(*variables, "LC_") && !begins(*variables, "LANG="))
            continue;
        const char *value = *variables;
        while (*value && *value++ != '=')
            ;
        if (*value && compare(value, "C") && compare(value, "POSIX"))
            return 0;
    }
    return 1;
}

/* Whether the first argument that is no flag among `flags` is one of `list`; "-m NAME" is looked up as "-mNAME", and
 * "-c CODE" as "-cCODE". */
static int first_is(char **arguments, const u32 *list, const u32 *flags) {
    char joined[256];
    while (*arguments && among(*arguments, flags))
        arguments++;
    if (!*arguments)
        return 0;
    if (compare(*arguments, "-m") && compare(*arguments, "-c"))
        return among(*arguments, list);
    joined[0] = '-', joined[1] = (*arguments)[1];
    u64 size = arguments[1] ? length(arguments[1]) : sizeof joined;
    if (size + 3 > sizeof joined)
        return 0;
    for (u64 at = 0; at <= size; at++)
        joined[2 + at] = arguments[1][at];
    return among(joined, list);
}

/* The first entry of `path` and how many there are of it, one after the other. */
static const struct entry *find(const char *path, u32 *count) {
    const struct table *head = (const struct table *)table;
    const struct entry *entries = (const struct entry *)(table + head->entries);
    u32 low = 0, high = head->count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (compare(path, TEXT(entries[middle].path)) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (*count = 0; low + *count < head->count && !compare(path, TEXT(entries[low + *count].path)); ++*count)
        ;
    return *count ? &entries[low] : 0;
}

/* The real path of the program and what it is; zero if that cannot be told. */
static int looked_up(const char *path, char *real, struct status *status) {
    i64 file = call(SYS_openat, AT_FDCWD, path, O_PATH | O_CLOEXEC);
    if (file < 0)
        return 0;
    char link[32] = "/proc/self/fd/", digits[12];
    int at = 14, count = 0;
    i64 number = file;
    do
        digits[count++] = '0' + number % 10;
    while (number /= 10);
    while (count)
        link[at++] = digits[--count];
    link[at] = 0;
    i64 size = call(SYS_readlinkat, AT_FDCWD, link, real, MOST_PATH - 1);
    int found = size > 0 && !call(SYS_fstat, file, status);
    real[size > 0 ? size : 0] = 0;
    call(SYS_close, file);
    return found;
}

static int exists(const char *path) {
#if defined(__x86_64__)
    return call(SYS_access, path, 0) == 0;
#else
    return call(SYS_faccessat, AT_FDCWD, path, 0) == 0;
#endif
}

/* Whether the folder of that many bytes has none of the files `names`. What ld.so would expand, and a line feed, by which
 * musl tells folders apart, cannot be told. */
static int lacks(const char *folder, u64 size, const u32 *names) {
    char path[MOST_PATH];
    if (size >= MOST_PATH - 1)
        return 0;
    for (u64 at = 0; at < size; at++)
        if ((path[at] = folder[at]) == '$' || path[at] == '\n')
            return 0;
    if (!size)
        path[size++] = '.';
    path[size++] = '/';
    for (; *names; names++) {
        u64 more = length(TEXT(*names));
        if (size + more >= MOST_PATH)
            return 0;
        for (u64 at = 0; at <= more; at++)
            path[size + at] = TEXT(*names)[at];
        if (exists(path))
            return 0;
    }
    return 1;
}

/* Whether none of the folders has one of `names`: folders end at a colon, and at `more`. */
static int all_lack(const char *folder, char more, const u32 *names) {
    for (u64 size = 0; *folder || size; folder += size + 1) {
        for (size = 0; folder[size] && folder[size] != ':' && folder[size] != more;)
            size++;
        if (!lacks(folder, size, names))
            return 0;
        if (!folder[size])
            break;
    }
    return 1;
}

/* Whether no variable of ld.so(8) would have given the program another library than its twin gets. */
static int own_libraries(char **variables, const u32 *names) {
    for (; *variables; variables++) {
        if (!begins(*variables, "LD_"))
            continue;
        if (!begins(*variables, "LD_LIBRARY_PATH="))
            return 0;
        /* A semicolon is between folders for glibc, and part of a name for musl. */
        if (!all_lack(*variables + 16, ';', names) || !all_lack(*variables + 16, ':', names))
            return 0;
    }
    return 1;
}

static const char *last_part(const char *path) {
    const char *last = path;
    while (*path)
        if (*path++ == '/')
            last = path;
    return last;
}

/* Whether an argument is flags of one letter each, after one dash, and has one of `letters`. */
static int has_letter(const char *argument, const char *letters) {
    if (argument[0] != '-' || argument[1] == '-')
        return 0;
    for (argument++; *argument; argument++)
        for (const char *each = letters; *each; each++)
            if (*argument == *each)
                return 1;
    return 0;
}

static int permitted(const struct entry *entry, const char *name, char **arguments, char **variables) {
    for (const struct rule *rule = (const struct rule *)(table + entry->rules); rule->kind != END; rule++) {
        switch (rule->kind) {
        case NO_VARIABLE:
            if (variable_begins(variables, TEXT(rule->one)))
                return 0;
            break;
        case NO_ARGUMENT:
            for (char **each = arguments; *each; each++)
                if (!compare(*each, TEXT(rule->one)))
                    return 0;
            break;
        case NO_ARGUMENT_PREFIX:
            for (char **each = arguments; *each; each++)
                if (begins(*each, TEXT(rule->one)))
                    return 0;
            break;
        case NO_LETTER:
            for (char **each = arguments; *each; each++)
                if (has_letter(*each, TEXT(rule->one)))
                    return 0;
            break;
        case HAS_ARGUMENT: {
            int found = 0;
            for (char **each = arguments; *each; each++)
                found |= among(*each, LIST(rule->one));
            if (!found)
                return 0;
            break;
        }
        case FIRST_ARGUMENT:
            if (!first_is(arguments, LIST(rule->one), LIST(rule->two)))
                return 0;
            break;
        case NEXT_AMONG:
            for (char **each = arguments; *each; each++)
                if (!compare(*each, TEXT(rule->one)) && (!each[1] || !among(each[1], LIST(rule->two))))
                    return 0;
            break;
        case HAS_VARIABLE: {
            int found = 0;
            for (char **each = variables; *each; each++)
                found |= !compare(*each, TEXT(rule->one));
            if (!found)
                return 0;
            break;
        }
        case LIBRARIES:
            if (!own_libraries(variables, LIST(rule->one)))
                return 0;
            break;
        case PLAIN_LOCALE:
            if (!plain_locale(variables))
                return 0;
            break;
        case NAMED:
            if (!among(last_part(name), LIST(rule->one)))
                return 0;
            break;
        }
    }
    return 1;
}

static char *replaced(const struct entry *entry, char *argument) {
    for (const struct rule *rule = (const struct rule *)(table + entry->rules); rule->kind != END; rule++)
        if (rule->kind == REPLACE && !compare(argument, TEXT(rule->one)))
            return (char *)TEXT(rule->two);
    return argument;
}

static int wants_suffix(const struct entry *entry, char **arguments) {
    for (const struct rule *rule = (const struct rule *)(table + entry->rules); rule->kind != END; rule++)
        if (rule->kind == NO_SUFFIX_IF)
            for (char **each = arguments; *each; each++)
                if (!compare(*each, TEXT(rule->one)))
                    return 0;
    return 1;
}

static u64 put(char *line, u64 at, const char *text) {
    for (; *text && at < MOST_LINE - 1; text++)
        line[at++] = *text == '\n' ? '?' : *text;
    return at;
}

/* One line in one write, so that lines of programs that start at once do not mix; the file is opened to be added to. */
static void note(char how, const char *path, const char *script) {
    i64 log = call(SYS_openat, AT_FDCWD, PLACE "log/starts", O_WRONLY | O_APPEND | O_CLOEXEC);
    if (log < 0)
        return;
    char line[MOST_LINE] = {how, ' '};
    u64 at = put(line, 2, path);
    if (script)
        at = put(line, put(line, at, " "), script);
    line[at++] = '\n';
    call(SYS_write, log, line, at);
    call(SYS_close, log);
}

static void start_twin(const struct entry *entry, const char *real, u64 count, char **arguments, char *name,
                       char **variables) {
    const u32 *prefix = LIST(entry->prefix), *suffix = LIST(entry->suffix);
    u64 more = 1, own = 0;
    for (const u32 *each = prefix; *each; each++)
        more++;
    for (const u32 *each = suffix; *each; each++)
        more++;
    while (variables[own])
        own++;
    char *all[count + more], *environment[own + more];
    u64 at = 0, set = 0;
    for (; *prefix; prefix++) {
        char *word = (char *)TEXT(*prefix);
        if (word[0] == 2)
            environment[set++] = word + 1;
        else
            all[at++] = word[0] == 1 ? name : word;
    }
    for (u64 index = 0; index <= own; index++)
        environment[set++] = variables[index];
    for (char **each = arguments; *each; each++)
        all[at++] = replaced(entry, *each);
    if (wants_suffix(entry, arguments))
        for (; *suffix; suffix++)
            all[at++] = (char *)TEXT(*suffix);
    all[at] = 0;
    note('T', real, 0);
    call(SYS_execve, TEXT(entry->program), all, environment);
    note('F', real, 0);
}

static void start_emulator(u64 count, char **arguments, char *path, char *name, char **variables) {
    char relative[MOST_PATH + 3] = "./";
    char *all[count + 5];
    u64 at = 0;
    if (path[0] == '-' && length(path) < MOST_PATH) {
        for (u64 index = 0; index <= length(path); index++)
            relative[2 + index] = path[index];
        path = relative;
    }
    all[at++] = PLACE "qemu";
    all[at++] = "-0";
    all[at++] = name;
    all[at++] = path;
    for (char **each = arguments; *each; each++)
        all[at++] = *each;
    all[at] = 0;
    call(SYS_execve, PLACE "qemu", all, variables);
    if (!embedded.size)
        return;
    i64 file = call(SYS_memfd_create, "qemu", MFD_CLOEXEC | MFD_EXEC);
    if (file < 0)
        file = call(SYS_memfd_create, "qemu", MFD_CLOEXEC);
    for (u64 done = 0; done < embedded.size;) {
        i64 written = call(SYS_write, file, embedded.at + done, embedded.size - done);
        if (written <= 0)
            return;
        done += written;
    }
    call(SYS_execveat, file, "", all, variables, AT_EMPTY_PATH);
}

/* What an interpreter runs: its first argument that is an absolute path, or null. */
static const char *script_of(char **arguments) {
    for (; *arguments; arguments++)
        if (**arguments == '/')
            return *arguments;
    return 0;
}

__attribute__((used)) static void run(u64 *stack) {
    u64 count = stack[0];
    char **words = (char **)(stack + 1);
    char **variables = words + count + 1;
    static char real[MOST_PATH];
    struct status status;
    if (count < 3)
        call(SYS_exit, 126);
    char *path = words[1], *name = words[2], **arguments = words + 3;
    const struct entry *entries = 0;
    u32 meant = 0;
    int known = looked_up(path, real, &status);
    i64 file = known ? call(SYS_openat, AT_FDCWD, PLACE "table", O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        struct status made;
        i64 map = call(SYS_fstat, file, &made) ? -1 : call(SYS_mmap, 0, made.size, PROT_READ, MAP_PRIVATE, file, 0);
        call(SYS_close, file);
        if (map > 0 || map < -4095) {
            table = (const char *)map;
            entries = find(real, &meant);
        }
    }
    if (meant && (status.mode & S_IFMT) == S_IFREG && !(status.mode & (S_ISUID | S_ISGID)) &&
        !exists("/etc/ld.so.preload") && call(SYS_getxattr, path, "security.capability", 0, 0) < 0)
        for (const struct entry *each = entries; each < entries + meant; each++)
            if (status.mtime == each->mtime && permitted(each, name, arguments, variables))
                start_twin(each, real, count, arguments, name, variables);
    note('E', known ? real : path, meant ? script_of(arguments) : 0);
    start_emulator(count, arguments, path, name, variables);
    call(SYS_exit, 126);
}
