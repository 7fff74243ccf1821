import { testService } from './service.mjs';

testService('xhr_streaming');
