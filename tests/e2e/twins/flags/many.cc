#include <algorithm>
#include <iostream>
#include <map>
#include <ranges>
#include <string>
#include <vector>

int main() {
    std::map<std::string, std::vector<int>> by_name;
    for (int n : std::views::iota(0, 20))
        by_name[n % 3 ? "other" : "third"].push_back(n);
    for (auto &[name, numbers] : by_name)
        std::cout << name << ' ' << std::ranges::count_if(numbers, [](int n) { return n % 2; }) << '\n';
}
