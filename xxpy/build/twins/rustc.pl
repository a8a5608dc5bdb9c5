# Runs a step's rustc as its twin: this machine's rustc of the same version, told of the target.
#
#     perl rustc.pl PLACE LOADER LIBRARIES RUSTC SYSROOT HOST EMULATED EMULATED-SYSROOT TARGET -- ARGUMENTS
#
# PLACE is where the step sees what twins need. LOADER and LIBRARIES start a program of this machine; RUSTC is the
# twin, SYSROOT where its library is, HOST its triple; EMULATED, EMULATED-SYSROOT and TARGET are those of the rustc that
# it stands in for; ARGUMENTS what that was given.
#
# Procedural macros are what makes this more than one exec. They are libraries that rustc itself loads, so the twin can
# load none that was made for the target. What the step gets is the target's, as ever; beside that each macro crate,
# with the libraries that it is made of, is compiled once more for this machine, from the arguments that it was first
# compiled with, and lies in a folder that no layer has. rustc knows a crate by its name, a hash of what it is and the
# identifier that -C metadata gives it: the last is the same for both, the hash is copied from one to the other. So what
# is compiled with such a macro has no trace of which of the two was loaded. Where a macro cannot be had so, QEMU runs
# rustc.

use strict;
use warnings;

my ($place, $loader, $libraries, $rustc, $sysroot, $host, $emulated, $emulated_sysroot, $target, undef, @given) = @ARGV;
my $kept = "$place/macros";
my @start = ($loader, '--inhibit-cache', '--argv0', 'rustc', '--library-path', $libraries, $rustc);

# The value of an option in one of the forms that rustc takes: --name VALUE, --name=VALUE.
sub values_of {
    my ($name, @words) = @_;
    my @found;
    for my $at (0 .. $#words) {
        push @found, $words[$at + 1] if $words[$at] eq $name && $at < $#words;
        push @found, $1 if $words[$at] =~ /^\Q$name\E=(.*)/s;
    }
    return @found;
}

# The value of -C name=VALUE, -Cname=VALUE or --codegen name=VALUE.
sub codegen {
    my ($name, @words) = @_;
    my ($found) = grep { defined } map { /^(?:-C|--codegen=)?\Q$name\E=(.*)/s ? $1 : undef } @words;
    return $found // '';
}

# What a crate's file is called: its name and what -C extra-filename adds.
sub name_of {
    my (@words) = @_;
    my ($name) = values_of('--crate-name', @words);
    return defined $name ? $name . codegen('extra-filename', @words) : '';
}

# The files of other crates that are used: (name of the crate's file, its suffix) for each.
sub externs {
    my (@words) = @_;
    return map { m{=(?:.*/)?lib([^/]+)\.(rlib|rmeta|so)$}s ? [$1, $2] : () } values_of('--extern', @words);
}

sub emulate {
    exec {"$place/qemu"} "$place/qemu", '-0', 'rustc', $emulated, @given;
    exit 126;
}

sub slurp {
    my ($path) = @_;
    open(my $file, '<:raw', $path) or return undef;
    local $/;
    my $data = <$file>;
    return $data;
}

# A file that is whole or not there, whoever else writes it.
sub spill {
    my ($path, $data) = @_;
    open(my $file, '>:raw', "$path.$$") or return 0;
    my $done = print {$file} $data;
    return close($file) && $done && rename("$path.$$", $path);
}

# The words with `--extern`, `--out-dir` and the like changed by `$change`, which gets an option's name and value, and
# returns the words that are to stand there.
sub changed {
    my ($change, @words) = @_;
    my @made;
    while (@words) {
        my $word = shift @words;
        if ($word =~ /^(--extern|--out-dir|--emit|--error-format|--json|--target|-L|-C|--codegen)$/ && @words) {
            push @made, $change->($1, shift @words);
        } elsif ($word =~ /^(--extern|--out-dir|--emit|--error-format|--json|--target|--codegen)=(.*)/s) {
            push @made, $change->($1, $2);
        } elsif ($word =~ /^(-[LC])(.+)/s) {
            push @made, $change->($1, $2);
        } else {
            push @made, $word;
        }
    }
    return @made;
}

# The file of a crate for this machine: a macro's in "macros", another's in "libraries".
sub for_here {
    my ($name, $suffix) = @_;
    return $suffix eq 'so' ? "$kept/macros/lib$name.so" : "$kept/libraries/lib$name.rlib";
}

sub in_silence {
    my ($folder, $variables, @words) = @_;
    my $child = fork;
    return 0 unless defined $child;
    if (!$child) {
        open(STDIN, '<', '/dev/null');
        open(STDOUT, '>', '/dev/null');
        open(STDERR, '>>', "$kept/log");
        chdir $folder or exit 1;
        %ENV = %$variables;
        exec {$words[0]} @words;
        exit 127;
    }
    waitpid($child, 0);
    return $? == 0;
}

# Compiles a crate for this machine as it was compiled for the target. `$depth` ends what would go in circles.
sub compile_here {
    my ($name, $suffix, $depth) = @_;
    return 1 if -e for_here($name, $suffix);
    my $saved = slurp("$kept/commands/$name");
    return 0 if !defined $saved || $depth > 100;
    my ($folder, $count, @rest) = split /\0/, $saved, -1;
    my @given = splice @rest, 0, $count;
    my %variables = map { split /=/, $_, 2 } @rest;
    # The jobs that make or cargo gave to the first run are not this one's.
    delete @variables{qw(CARGO_MAKEFLAGS MAKEFLAGS MFLAGS)};
    for (externs(@given)) {
        my ($other, $kind) = @$_;
        return 0 unless compile_here($other, $kind, $depth + 1);
    }
    my @words = changed(
        sub {
            my ($option, $value) = @_;
            return () if $option =~ /^--(out-dir|emit|error-format|json|target)$/;
            return () if $option eq '-L' && $value !~ /^native=/;
            return () if $option =~ /^(-C|--codegen)$/ && $value =~ /^(incremental|linker|link-arg|target-)/;
            $value =~ s{=(?:.*/)?lib([^/]+)\.(rlib|rmeta|so)$}{'=' . for_here($1, $2)}se if $option eq '--extern';
            return ($option, $value);
        },
        @given
    );
    my $scratch = "$kept/scratch-$$-$depth";
    mkdir $scratch;
    push @words, '--emit=link', '--out-dir', $scratch, '--sysroot', $sysroot, '-L', "dependency=$kept/libraries",
        '-L', "dependency=$kept/macros", '-C', "linker=$place/link", '-C', 'linker-flavor=ld';
    in_silence($folder, \%variables, @start, @words) or return 0;
    my $file = for_here($name, $suffix);
    my $made = "$scratch/" . ($file =~ m{([^/]+)$})[0];
    if ($suffix eq 'so') {
        my ($out) = values_of('--out-dir', @given);
        $out = "$folder/$out" unless ($out // '.') =~ m{^/};
        with_hash_of_target($made, "$out/lib$name.so") or return 0;
    }
    return rename($made, $file);
}

# The place of the hash in a library's metadata: after the header ("rust", a version, where the root is) the root has
# the triple and the hash (rustc_metadata, CrateHeader).
sub hash_at {
    my ($data, $triple) = @_;
    while ($data =~ /rust\0\0\0[\x05-\x40]/g) {
        my $blob = pos($data) - 8;
        my $root = unpack 'Q<', substr($data, $blob + 8, 8);
        next if $blob + $root + 64 > length $data;
        my $header = "\0" . chr(length $triple) . $triple . "\xC1";
        return $blob + $root + length $header if substr($data, $blob + $root, length $header) eq $header;
    }
    return -1;
}

# Gives the macros in `$made`, which are for this machine, the hash of `$original`, which are for the target.
sub with_hash_of_target {
    my ($made, $original) = @_;
    my ($here, $there) = (slurp($made), slurp($original));
    return 0 unless defined $here && defined $there;
    my ($to, $from) = (hash_at($here, $host), hash_at($there, $target));
    return 0 if $to < 0 || $from < 0;
    substr($here, $to, 16) = substr($there, $from, 16);
    return spill($made, $here);
}

my $name = name_of(@given);
my %types = map { $_ => 1 } map { split /,/ } values_of('--crate-type', @given);
my @targets = values_of('--target', @given);
emulate() if grep { $_ ne $target } @targets;

# Which macros rustc will load: those that are named, and those of the crates that are named.
my %macros;
for (externs(@given)) {
    my ($other, $suffix) = @$_;
    if ($suffix eq 'so') {
        $macros{$other} = 1;
    } else {
        my $uses = slurp("$kept/uses/$other");
        # It is not known what a crate of an earlier build needs.
        emulate() unless defined $uses;
        $macros{$_} = 1 for split /\0/, $uses;
    }
}
-e for_here($_, 'so') or emulate() for sort keys %macros;

if ($name ne '') {
    spill("$kept/uses/$name", join "\0", sort keys %macros);
    my @variables = map { "$_=$ENV{$_}" } keys %ENV;
    spill("$kept/commands/$name", join "\0", readlink('/proc/self/cwd'), scalar @given, @given, @variables);
}
my @words = changed(
    sub {
        my ($option, $value) = @_;
        $value =~ s{=(?:.*/)?lib([^/]+)\.so$}{=$kept/macros/lib$1.so}s if $option eq '--extern';
        return ($option, $value);
    },
    @given
);
push @words, '--target', $target unless @targets;
push @words, '--sysroot', $emulated_sysroot unless values_of('--sysroot', @given);
push @words, '-L', "dependency=$kept/macros" if %macros;
if ($types{'proc-macro'}) {
    my $status = system {$loader} @start, @words;
    exit($status & 127 ? 128 + ($status & 127) : $status >> 8) if $status;
    compile_here($name, 'so', 0);
    exit 0;
}
exec {$loader} @start, @words;
exit 126;
