#include <numeric>
#include <vector>
extern "C" int mul(int a, int b) {
    std::vector<int> all(b, a);
    return std::accumulate(all.begin(), all.end(), 0);
}
