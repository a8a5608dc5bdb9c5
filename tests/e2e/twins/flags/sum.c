long sum(const int *numbers, int count) {
    long total = 0;
    for (int at = 0; at < count; at++)
        total += numbers[at];
    return total;
}
