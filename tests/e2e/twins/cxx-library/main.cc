#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

int main() {
    nlohmann::json values;
    for (std::string line; std::getline(std::cin, line);)
        if (auto at = line.find('='); at != std::string::npos)
            values[line.substr(0, at)] = line.substr(at + 1);
    fmt::print("{} values\n{}\n", values.size(), values.dump(2));
}
